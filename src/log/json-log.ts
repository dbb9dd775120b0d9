import { type Log, type LogLevel, logTo, writeLine } from "./log.ts";

/** The log for programs: a JSON object a line. What writes JSON is loaded where it is wanted: starting must stay fast. */
export async function jsonLog(level: LogLevel): Promise<Log> {
  const { pino, stdTimeFunctions } = await import("pino");
  const logger = pino(
    {
      level,
      base: undefined, // whoever collects logs knows the process and the machine
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line) => writeLine(line.trimEnd()) },
  );
  return logTo((lineLevel, message, fields) => logger[lineLevel](fields, message));
}
