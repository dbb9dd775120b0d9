/** Times when nodes were last refused because of their address. They are apart from contacts, because they are none. */
export const refusedContacts = `
CREATE TABLE refused_contacts (
  node_id INTEGER PRIMARY KEY REFERENCES nodes (id) ON DELETE CASCADE,
  at TEXT NOT NULL
) STRICT;
`;
