# M25 Mail: install as /etc/dovecot/m25-learn-ham.sieve where rspamd filters. Dovecot runs it on mail that its owner moves out of Junk,
# or from the inbox into a folder.
require ["vnd.dovecot.pipe", "copy", "imapsieve", "environment"];

if not anyof (environment :is "imap.mailbox" ["Junk", "Trash"], size :over 1M) {
  pipe :copy :try "m25-learn" ["ham"];
}
