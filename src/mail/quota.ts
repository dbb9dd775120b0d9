/** Quotas are in MiB. 0 is refused: Dovecot reads it as unlimited. */
export const MIN_QUOTA_MB = 1;
export const MAX_QUOTA_MB = 1_048_576;
export const DEFAULT_QUOTA_MB = 1024;

export function isQuota(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= MIN_QUOTA_MB && Number(value) <= MAX_QUOTA_MB;
}
