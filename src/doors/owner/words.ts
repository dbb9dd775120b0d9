import type { FastifyRequest } from "fastify";

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
  closed:
    "This server takes no password links at present. Tell the person who sent you the link that the server runs without “--tools people”.",
  failedTitle: "This did not work",
  foreignForm: "This form did not come from this server’s page. Nothing was changed: open your link again.",
  unreadable: "The form could not be read. Nothing was changed: open your link again.",
  plain:
    "This connection is not encrypted, so no password is asked for here. Open the link with https:// at its start.",
  bug: "Something went wrong. Nothing was changed. Tell your provider this reference:",
  signInTitle: "Sign in to your mailbox’s settings",
  address: "Email address",
  presentPassword: "Present password",
  signIn: "Sign in",
  signInHint:
    "Your own password, not an app password. If you have lost it, or if it works in your mail program and not here, ask your provider for a link to choose a new one.",
  wrongSignIn: "The address or the password is wrong.",
  wrongPresent: "The present password is wrong. Nothing was changed.",
  plainSignIn:
    "This connection is not encrypted, so no password is asked for here. Open the page with https:// at its start.",
  foreignOrEnded:
    "You are not signed in any more, or this form did not come from this server’s page. Nothing was changed: open the page again.",
  signOut: "Sign out",
  accountTitle: "Your mailbox",
  appPasswords: "App passwords",
  appPasswordsHint:
    "Give each mail program and device its own password. If you lose a device, end its password here; the others keep working.",
  noAppPasswords: "You have none.",
  mostAppPasswords: "You have 20, which is the limit. End one to make another.",
  appName: "Name",
  appNameHint: "The program or device, such as “Phone”.",
  make: "Make an app password",
  madeOn: "made on",
  end: "End",
  ended: "The app password has ended. Within a minute no program gets in with it.",
  badName:
    "This name cannot be taken. Use 1 to 64 visible characters, and no name that you have given already.",
  newAppTitle: "Your new app password",
  newAppHint:
    "Copy it now into the mail program, hyphens included: it is not shown again. Within a minute it works there, to read and to send mail.",
  userName: "User name",
  appPassword: "Password",
  back: "Done",
  changeTitle: "Change your password",
  changeHint: "App passwords stay. Other programs need the new password.",
  changed:
    "Within a minute it works in your mail program: type it there, with your full address as the user name. App passwords keep working.",
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
  closed:
    "Deze server neemt nu geen wachtwoordlinks aan. Zeg degene die u de link stuurde dat de server zonder “--tools people” draait.",
  failedTitle: "Dit is niet gelukt",
  foreignForm:
    "Dit formulier kwam niet van de pagina van deze server. Er is niets gewijzigd: open uw link opnieuw.",
  unreadable: "Het formulier kon niet worden gelezen. Er is niets gewijzigd: open uw link opnieuw.",
  plain:
    "Deze verbinding is niet versleuteld; daarom wordt hier geen wachtwoord gevraagd. Open de link met https:// aan het begin.",
  bug: "Er ging iets mis. Er is niets gewijzigd. Geef deze code door aan uw provider:",
  signInTitle: "Log in bij de instellingen van uw mailbox",
  address: "E-mailadres",
  presentPassword: "Huidig wachtwoord",
  signIn: "Inloggen",
  signInHint:
    "Uw eigen wachtwoord, geen app-wachtwoord. Bent u het kwijt, of werkt het in uw mailprogramma en hier niet? Vraag uw provider om een link om een nieuw wachtwoord te kiezen.",
  wrongSignIn: "Het adres of het wachtwoord klopt niet.",
  wrongPresent: "Het huidige wachtwoord klopt niet. Er is niets gewijzigd.",
  plainSignIn:
    "Deze verbinding is niet versleuteld; daarom wordt hier geen wachtwoord gevraagd. Open de pagina met https:// aan het begin.",
  foreignOrEnded:
    "U bent niet meer ingelogd, of dit formulier kwam niet van de pagina van deze server. Er is niets gewijzigd: open de pagina opnieuw.",
  signOut: "Uitloggen",
  accountTitle: "Uw mailbox",
  appPasswords: "App-wachtwoorden",
  appPasswordsHint:
    "Geef elk mailprogramma en apparaat een eigen wachtwoord. Raakt u een apparaat kwijt, beëindig dan hier het wachtwoord ervan; de andere blijven werken.",
  noAppPasswords: "U hebt er geen.",
  mostAppPasswords: "U hebt er 20, en dat is het maximum. Beëindig er een om een nieuw te maken.",
  appName: "Naam",
  appNameHint: "Het programma of apparaat, zoals “Telefoon”.",
  make: "App-wachtwoord maken",
  madeOn: "gemaakt op",
  end: "Beëindigen",
  ended: "Het app-wachtwoord is beëindigd. Binnen een minuut komt geen programma er nog mee binnen.",
  badName: "Deze naam kan niet. Gebruik 1 tot 64 zichtbare tekens, en geen naam die u al hebt gegeven.",
  newAppTitle: "Uw nieuwe app-wachtwoord",
  newAppHint:
    "Kopieer het nu naar het mailprogramma, met de streepjes: het wordt niet nog eens getoond. Binnen een minuut werkt het daar, om mail te lezen en te versturen.",
  userName: "Gebruikersnaam",
  appPassword: "Wachtwoord",
  back: "Klaar",
  changeTitle: "Wijzig uw wachtwoord",
  changeHint: "App-wachtwoorden blijven. Andere programma’s hebben het nieuwe wachtwoord nodig.",
  changed:
    "Binnen een minuut werkt het in uw mailprogramma: typ het daar, met uw volledige adres als gebruikersnaam. App-wachtwoorden blijven werken.",
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

export function languageOf({ headers }: FastifyRequest): Language {
  return languageFor(headers["accept-language"]);
}
