/** The words of the owner's page in each of its languages. */
const english = {
  firstTitle: "Choose your password",
  resetTitle: "Choose a new password",
  forMailbox: "For the mailbox",
  explanation:
    "Nobody else will know this password: not your provider, and not the person who sent you the link. Your mail program needs it, with your full address as the user name.",
  newPassword: "New password",
  again: "The same password again",
  rules:
    "At least 8 characters: several words that do not belong together, or what your password manager suggests. No common password, and not your address.",
  save: "Save password",
  different: "The two passwords are not the same. Type them again.",
  refused:
    "This password cannot be taken. Choose another: at least 8 characters and at most 72 bytes, no common password, and not your address.",
  busy: "The server is busy. Nothing was changed: try again in a minute.",
  doneTitle: "Your password is saved",
  done: "Within a minute it works in your mail program: type it there, with your full address as the user name. This link has ended.",
  deadTitle: "This link does not work",
  dead: "It has been used, has ended, or was replaced by a newer one. Ask the person who sent it for a new link.",
  failedTitle: "This did not work",
  foreignForm: "This form did not come from this server’s page. Nothing was changed: open your link again.",
  unreadable: "The form could not be read. Nothing was changed: open your link again.",
  plain:
    "This connection is not encrypted, so no password is asked for here. Open the link with https:// at its start.",
  bug: "Something went wrong. Nothing was changed. Tell your provider this reference:",
};

export type Words = typeof english;

const dutch: Words = {
  firstTitle: "Kies uw wachtwoord",
  resetTitle: "Kies een nieuw wachtwoord",
  forMailbox: "Voor de mailbox",
  explanation:
    "Niemand anders kent dit wachtwoord: uw provider niet, en degene die u de link stuurde ook niet. Uw mailprogramma heeft het nodig, met uw volledige adres als gebruikersnaam.",
  newPassword: "Nieuw wachtwoord",
  again: "Nogmaals hetzelfde wachtwoord",
  rules:
    "Minstens 8 tekens: enkele woorden die niet bij elkaar horen, of wat uw wachtwoordbeheerder voorstelt. Geen veelgebruikt wachtwoord, en niet uw adres.",
  save: "Wachtwoord opslaan",
  different: "De twee wachtwoorden zijn niet gelijk. Typ ze opnieuw.",
  refused:
    "Dit wachtwoord kan niet. Kies een ander: minstens 8 tekens en hoogstens 72 bytes, geen veelgebruikt wachtwoord, en niet uw adres.",
  busy: "De server heeft het druk. Er is niets gewijzigd: probeer het over een minuut opnieuw.",
  doneTitle: "Uw wachtwoord is opgeslagen",
  done: "Binnen een minuut werkt het in uw mailprogramma: typ het daar, met uw volledige adres als gebruikersnaam. Deze link werkt niet meer.",
  deadTitle: "Deze link werkt niet",
  dead: "Hij is gebruikt, verlopen, of vervangen door een nieuwere. Vraag een nieuwe link aan degene die hem stuurde.",
  failedTitle: "Dit is niet gelukt",
  foreignForm:
    "Dit formulier kwam niet van de pagina van deze server. Er is niets gewijzigd: open uw link opnieuw.",
  unreadable: "Het formulier kon niet worden gelezen. Er is niets gewijzigd: open uw link opnieuw.",
  plain:
    "Deze verbinding is niet versleuteld; daarom wordt hier geen wachtwoord gevraagd. Open de link met https:// aan het begin.",
  bug: "Er ging iets mis. Er is niets gewijzigd. Geef deze code door aan uw provider:",
};

export const languages = { en: english, nl: dutch };

export type Language = keyof typeof languages;

/** The page's language for an Accept-Language header (RFC 9110 12.5.4). English if the header names none of them. */
export function languageFor(header = ""): Language {
  const wanted = header.split(",").map((range) => {
    const [tag = "", weight = "q=1"] = range
      .trim()
      .toLowerCase()
      .split(/\s*;\s*/);
    return { language: tag.split("-")[0] ?? "", weight: Number(/^q=([\d.]+)$/.exec(weight)?.[1] ?? 0) };
  });
  const known = wanted
    .filter(({ language, weight }) => Object.hasOwn(languages, language) && weight > 0)
    .sort((one, other) => other.weight - one.weight);
  return (known[0]?.language ?? "en") as Language;
}
