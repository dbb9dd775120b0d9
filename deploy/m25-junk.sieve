# M25 Mail: install as /etc/dovecot/m25-junk.sieve, then run sievec on it. It is read before the filters of owners.
require "fileinto";

# rspamd says so, where it filters.
if header :is "X-Spam" "Yes" {
  fileinto "Junk";
}
