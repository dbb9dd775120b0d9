/** Defined by esbuild in the bundle; absent when the program runs from source. */
declare const __M25_MAIL_VERSION__: string | undefined;

export const version = typeof __M25_MAIL_VERSION__ === "string" ? __M25_MAIL_VERSION__ : "dev";
