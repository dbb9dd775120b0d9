/** Writes Debian packages (deb(5)) on any system: an ar archive of two tar files. The same files give the same bytes. */
import { gzipSync } from "node:zlib";

/** A file of a package, by its absolute path on the machine. */
export interface PackedFile {
  path: string;
  /** Either its content or, for a symbolic link, where it leads. */
  content: string | Buffer | { link: string };
  /** 0o644 unless given. */
  mode?: number;
}

/** The files that dpkg reads and runs: `control`, `postinst` and the like, each with its text. */
export type Control = Readonly<Record<string, string>>;

/** The time of all files, 2000-01-01: the build's own time would change the bytes. */
const MODIFIED = 946_684_800;
const TAR_BLOCK = 512;
const FOLDER = 0o755;

/** @returns the bytes of a .deb file */
export function debianPackage(control: Control, files: readonly PackedFile[]): Buffer {
  const scripts = Object.entries(control).map(([name, content]) => ({
    path: `/${name}`,
    content,
    mode: name === "control" ? 0o644 : 0o755,
  }));
  return ar([
    ["debian-binary", Buffer.from("2.0\n")],
    ["control.tar.gz", gzipSync(tar(scripts), { level: 9 })],
    ["data.tar.gz", gzipSync(tar(files), { level: 9 })],
  ]);
}

function ar(members: ReadonlyArray<readonly [name: string, content: Buffer]>): Buffer {
  const parts = members.flatMap(([name, content]) => {
    const fields = [name.padEnd(16), String(MODIFIED).padEnd(12), "0".padEnd(6), "0".padEnd(6)];
    const header = `${fields.join("")}${"100644".padEnd(8)}${String(content.length).padEnd(10)}\`\n`;
    return [Buffer.from(header), content, Buffer.from(content.length % 2 === 0 ? "" : "\n")];
  });
  return Buffer.concat([Buffer.from("!<arch>\n"), ...parts]);
}

/** The files and the folders that they are in, sorted, in the format ustar. */
function tar(files: readonly PackedFile[]): Buffer {
  const folders = new Set(files.flatMap(({ path }) => foldersOf(path)));
  const entries = [
    ...[...folders].map((path) => packed(path, { name: `.${path}/`, type: "folder", mode: FOLDER })),
    ...files.map(({ path, content, mode = 0o644 }) => {
      const name = `.${path}`;
      if (typeof content === "object" && "link" in content)
        return packed(path, { name, type: "link", mode: 0o777, link: content.link });
      return packed(path, { name, type: "file", mode }, Buffer.from(content));
    }),
  ].sort((one, other) => (one.path < other.path ? -1 : 1));
  const padding = (length: number) => Buffer.alloc((TAR_BLOCK - (length % TAR_BLOCK)) % TAR_BLOCK);
  return Buffer.concat([
    ...entries.flatMap(({ header, body }) => [header, body, padding(body.length)]),
    Buffer.alloc(2 * TAR_BLOCK),
  ]);
}

function packed(path: string, entry: Entry, body = Buffer.alloc(0)) {
  return { path, header: headerOf({ ...entry, size: body.length }), body };
}

/** /usr/bin/x is in "" (the root), /usr and /usr/bin. */
function foldersOf(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

interface Entry {
  name: string;
  type: "file" | "link" | "folder";
  mode: number;
  size?: number;
  link?: string;
}

const TYPES = { file: "0", link: "2", folder: "5" };

function headerOf({ name, type, mode, size = 0, link = "" }: Entry): Buffer {
  if (Buffer.byteLength(name) > 100 || Buffer.byteLength(link) > 100)
    throw new Error(`${name}: tar's ustar header has room for 100 bytes`);
  const header = Buffer.alloc(TAR_BLOCK);
  const octal = (value: number, width: number) => value.toString(8).padStart(width - 1, "0");
  header.write(name, 0);
  header.write(octal(mode, 8), 100);
  header.write(octal(0, 8), 108); // root
  header.write(octal(0, 8), 116);
  header.write(octal(size, 12), 124);
  header.write(octal(MODIFIED, 12), 136);
  header.write(" ".repeat(8), 148); // the checksum counts as spaces
  header.write(TYPES[type], 156);
  header.write(link, 157);
  header.write("ustar\x0000root", 257);
  header.write("root", 297);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(sum, 7)}\0 `, 148);
  return header;
}
