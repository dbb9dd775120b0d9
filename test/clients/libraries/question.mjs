/** What a test wants of a client, as JSON on standard input: the server, and the calls. */
export async function question() {
  let text = "";
  for await (const chunk of process.stdin) text += chunk;
  return JSON.parse(text);
}

/** What the client gives to its model for each call. */
export function answer(results) {
  process.stdout.write(JSON.stringify(results));
}
