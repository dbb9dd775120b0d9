# M25 Mail: install as /etc/dovecot/m25-learn-spam.sieve where rspamd filters. Dovecot runs it on mail that its owner moves to Junk.
require ["vnd.dovecot.pipe", "copy"];

if not size :over 1M {
  pipe :copy :try "m25-learn" ["spam"];
}
