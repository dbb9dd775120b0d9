import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { checkCertificate } from "../../../src/machine/certificate.ts";
import { planFile } from "../../../src/machine/file-plan.ts";
import { isDebiansMainCf, settingsOf } from "../../../src/node/setup/configurations.ts";
import { certificate } from "../../support/certificate.ts";

/** Debian 12's, with what is added if ssl-cert is installed. */
const TEMPLATE = `# See /usr/share/postfix/main.cf.dist for a commented, more complete version
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
biff = no
append_dot_mydomain = no
readme_directory = no
compatibility_level = 3.6
smtpd_tls_cert_file=/etc/ssl/certs/ssl-cert-snakeoil.pem
smtpd_tls_key_file=/etc/ssl/private/ssl-cert-snakeoil.key
smtpd_tls_security_level=may
smtp_tls_CApath=/etc/ssl/certs
smtp_tls_security_level=may
smtp_tls_session_cache_database = btree:\${data_directory}/smtp_scache
`;
/** The template with the lines that the installation adds. */
const DEBIANS = `${TEMPLATE}smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = pi.example.nl
alias_maps = hash:/etc/aliases
alias_database = hash:/etc/aliases
myorigin = /etc/mailname
mydestination = $myhostname, pi.example.nl, localhost.example.nl, , localhost
relayhost =
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
mailbox_size_limit = 0
recipient_delimiter = +
inet_interfaces = all
inet_protocols = all
`;

test("Debian's main.cf is told from one that somebody has changed", () => {
  expect(isDebiansMainCf(DEBIANS, TEMPLATE)).toBe(true);
  for (const change of [
    "relayhost = [smarthost.example.nl]",
    "virtual_alias_maps = hash:/etc/postfix/virtual",
    "mynetworks = 10.0.0.0/8",
  ])
    expect(isDebiansMainCf(`${DEBIANS}${change}\n`, TEMPLATE), change).toBe(false);
});

test("a setting over several lines, with comments between them, is one", () => {
  expect(settingsOf("a = 1,\n# no\n  2\n\n\t3\nb =\n")).toEqual(
    new Map([
      ["a", "1, 2 3"],
      ["b", ""],
    ]),
  );
});

test.each([
  ["as it shall be", { now: "new", written: "old" }, "keep"],
  ["that is missing", { now: undefined, written: undefined }, "create"],
  ["as setup wrote it", { now: "old", written: "old" }, "update"],
  ["that somebody changed since", { now: "own", written: "old" }, "ask"],
  ["of Debian's", { now: "debian", isDebians: true }, "replace"],
  ["of somebody's", { now: "own" }, "ask"],
])("a file %s: %s", (_name, found, what) => {
  const file = { path: "/etc/x", text: "new", now: undefined, written: undefined, isDebians: false };
  expect(planFile({ ...file, ...found }).do).toBe(what);
});

test("a certificate is ok only for the node's name, and while its renewal is not late", () => {
  const found = new X509Certificate(readFileSync(certificate("mail.example.nl").cert));
  const end = Date.parse(found.validTo);
  const DAY = 86_400_000;
  const check = (one: X509Certificate | undefined, name: string, now: number) =>
    checkCertificate(one, name, now, { missing: "get one", late: "renew it", selfSigned: "warned" });
  expect(check(found, "mail.example.nl", end - 15.5 * DAY)).toMatchObject({
    state: "ok",
    found: expect.stringMatching(/^15 days left/),
  });
  expect(check(found, "mail.example.nl", end - 13 * DAY)).toMatchObject({ state: "not_ok" });
  expect(check(found, "mx2.example.nl", end - 15 * DAY)).toMatchObject({ state: "not_ok" });
  expect(check(undefined, "mail.example.nl", end)).toMatchObject({ state: "not_ok" });
});
