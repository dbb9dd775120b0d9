/**
 * The removals that a node withholds by its last report; NULL if it has not said. An earlier report says it only as its reason,
 * and counts aliases as users.
 */
export const withheld = `
ALTER TABLE nodes ADD COLUMN withheld_domains INTEGER;
ALTER TABLE nodes ADD COLUMN withheld_users INTEGER;
ALTER TABLE nodes ADD COLUMN withheld_aliases INTEGER;
ALTER TABLE nodes ADD COLUMN withheld_domain_aliases INTEGER;

UPDATE nodes
  SET withheld_domains = 0, withheld_users = report_count, withheld_aliases = 0, withheld_domain_aliases = 0
  WHERE report_status = 'withheld' AND report_count IS NOT NULL;
`;
