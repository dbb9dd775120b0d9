/** Reads the server and the calls as JSON from standard input. */
export async function question() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  return JSON.parse(text);
}

/** Prints what the client gives to its model for each call. */
export function answer(results) {
  process.stdout.write(JSON.stringify(results));
}
