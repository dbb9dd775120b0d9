export const oauthRequests = `
ALTER TABLE oauth ADD COLUMN subscriber TEXT;

CREATE INDEX oauth_subscriber ON oauth (subscriber) WHERE subscriber IS NOT NULL;
`;
