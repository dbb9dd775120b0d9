/** Put in by esbuild (`define`) when the program is bundled; absent when it runs from source. */
declare const __M25_MAIL_VERSION__: string | undefined;

export const version = typeof __M25_MAIL_VERSION__ === "string" ? __M25_MAIL_VERSION__ : "dev";
