/** The users in the tests of deploy/. */

export const JAN = { address: "jan@example.nl", password: "correct horse" };
export const ANNA = { address: "anna@example.nl", password: "battery staple", quotaMb: 100 };
/** A user with a small quota. */
export const FULL = { address: "full@example.nl", password: "one megabyte", quotaMb: 1 };
export const USERS = [JAN, ANNA, FULL];
export const ADDRESSES = USERS.map(({ address }) => address);
export const STRANGER = "stranger@elsewhere.test";
/** The text that every filter of spam refuses. https://spamassassin.apache.org/gtube/ */
export const GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";
