import { parentPort } from "node:worker_threads";

/**
 * A second thread that asks the event loop for an answer, again 2 ms after each, and records the longest wait.
 * A timer in the loop itself could not tell a stall from its own lateness.
 */
const pause = new Int32Array(new SharedArrayBuffer(4));
let asked = performance.now();
let echoStall = 0;
let rssBefore = 0;
let rssPeak = 0;

function ask(): void {
  asked = performance.now();
  parentPort?.postMessage("echo");
}

parentPort?.on("message", (message: string) => {
  const rss = process.memoryUsage.rss() / 1e6;
  if (message === "begin") {
    rssBefore = rss;
    ask();
  } else if (message === "echo") {
    echoStall = Math.max(echoStall, performance.now() - asked);
    rssPeak = Math.max(rssPeak, rss);
    Atomics.wait(pause, 0, 0, 2);
    ask();
  } else {
    parentPort?.postMessage({ echoStall, rssBefore, rssPeak });
  }
});
