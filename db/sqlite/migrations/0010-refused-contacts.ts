/** When nodes were refused last for the address that they called from: apart from contacts, for it is none. */
export const refusedContacts = `
CREATE TABLE refused_contacts (
  node_id INTEGER PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
  at TEXT NOT NULL
) STRICT;
`;
