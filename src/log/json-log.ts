import { type Log, type LogLevel, logTo, writeLine } from "./log.ts";

/** The log for programs: one JSON object a line. pino is loaded only here, so that other starts stay fast. */
export async function jsonLog(level: LogLevel): Promise<Log> {
  const { pino, stdTimeFunctions } = await import("pino");
  const logger = pino(
    {
      level,
      base: undefined, // the log collector adds process and machine
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (line) => writeLine(line.trimEnd()) },
  );
  return logTo((lineLevel, message, fields) => logger[lineLevel](fields, message));
}
