import { createServer, type Server } from "node:net";

/** The envelope of a mail that has left, and its text as it was sent. */
export interface Mail {
  from: string;
  to: string;
  text: string;
}

/** All other mail servers of the world. @param refused the address that it does not know */
export function elsewhere(received: Mail[], refused?: string): Server {
  return createServer((socket) => {
    let [from, to, text] = ["", "", ""];
    let inText = false;
    let rest = "";
    const say = (line: string) => void socket.write(`${line}\r\n`);
    say("220 elsewhere ESMTP");
    socket.on("error", () => socket.destroy());
    socket.setEncoding("latin1").on("data", (piece: string) => {
      const lines = (rest + piece).split("\r\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (inText) {
          inText = line !== ".";
          if (inText) {
            text += `${line.replace(/^\./, "")}\r\n`;
            continue;
          }
          received.push({ from, to, text });
          say("250 taken");
        } else if (/^MAIL /i.test(line)) {
          from = /<(.*?)>/.exec(line)?.[1] ?? "";
          say("250 ok");
        } else if (/^RCPT /i.test(line)) {
          to = /<(.*?)>/.exec(line)?.[1] ?? "";
          say(to === refused ? "550 5.1.1 nobody here" : "250 ok");
        } else if (/^DATA/i.test(line)) {
          [inText, text] = [true, ""];
          say("354 go on");
        } else if (/^QUIT/i.test(line)) {
          say("221 bye");
          socket.end();
        } else say("250 ok");
      }
    });
  });
}
