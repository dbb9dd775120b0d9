import { constants } from "node:fs";
import {
  chmod,
  chown,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
} from "node:fs/promises";
import { dirname } from "node:path";
import { systemCode } from "./faults.ts";

/** What is known of a file without reading it. Nothing is followed: a link is not a regular file. */
export interface FileStat {
  regular: boolean;
  size: number;
  /** Nanoseconds since 1970, in decimal. */
  mtime_ns: string;
  /** Permission bits. */
  mode: number;
  uid: number;
  gid: number;
}

/** A file that did not exist before and that nobody else can read yet. */
export interface NewFile {
  write(text: string): Promise<void>;
  setOwner(uid: number, gid: number): Promise<void>;
  setMode(mode: number): Promise<void>;
  /** Seconds since 1970. */
  setModified(seconds: number): Promise<void>;
  /** Returns once the content has reached the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** The file operations of this program, few enough that a test can fail each of them in turn. */
export interface FileSystem {
  /** undefined when there is no such file. */
  stat(path: string): Promise<FileStat | undefined>;
  /** undefined when there is no such file. */
  read(path: string): Promise<string | undefined>;
  /** The content in pieces, as Latin-1: one character a byte. Throws ENOENT when there is no such file. */
  readPieces(path: string): AsyncIterable<string>;
  /** The names in a directory; none when there is no such directory. */
  list(directory: string): Promise<string[]>;
  /** How many bytes are free for this process on the disk that holds `path`. */
  free(path: string): Promise<number>;
  /** Creates a file, 0600; throws EEXIST when there is one. */
  create(path: string): Promise<NewFile>;
  rename(from: string, to: string): Promise<void>;
  /** Removes a file where there is one. */
  remove(path: string): Promise<void>;
  /** Creates a directory with whatever leads to it, each 0755 whatever the umask. */
  makeDirectory(path: string): Promise<void>;
  setMode(path: string, mode: number): Promise<void>;
  setOwner(path: string, uid: number, gid: number): Promise<void>;
  /** Returns once the file's content, or the directory's names, have reached the disk. */
  sync(path: string): Promise<void>;
}

const PIECE = 1 << 18;
const SEARCHABLE = 0o755;

export const diskFiles: FileSystem = {
  async stat(path) {
    const found = await absentAsUndefined(lstat(path, { bigint: true }));
    return (
      found && {
        regular: found.isFile(),
        size: Number(found.size),
        mtime_ns: String(found.mtimeNs),
        mode: Number(found.mode) & 0o7777,
        uid: Number(found.uid),
        gid: Number(found.gid),
      }
    );
  },
  read: (path) => absentAsUndefined(readFile(path, "utf8")),
  async *readPieces(path) {
    const file = await open(path, "r");
    try {
      const buffer = Buffer.allocUnsafe(PIECE);
      for (;;) {
        const { bytesRead } = await file.read(buffer, 0, PIECE);
        if (bytesRead === 0) return;
        yield buffer.toString("latin1", 0, bytesRead);
      }
    } finally {
      await file.close();
    }
  },
  list: async (directory) => (await absentAsUndefined(readdir(directory))) ?? [],
  async free(path) {
    const { bavail, bsize } = await statfs(path);
    return bavail * bsize;
  },
  async create(path) {
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
    const file = await open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    return {
      // writeFile writes on until all of it is written, where write may stop half way.
      write: (text) => file.writeFile(text),
      setOwner: (uid, gid) => file.chown(uid, gid),
      setMode: (mode) => file.chmod(mode),
      setModified: (seconds) => file.utimes(seconds, seconds),
      sync: () => file.sync(),
      close: () => file.close(),
    };
  },
  rename,
  remove: (path) => rm(path, { force: true }),
  async makeDirectory(path) {
    // Not mkdir's own `recursive`: in a place where nothing can be made, such as /proc, that of Node 20 never ends.
    try {
      await mkdir(path);
    } catch (error) {
      if (systemCode(error) === "EEXIST" && (await stat(path)).isDirectory()) return;
      if (systemCode(error) !== "ENOENT" || dirname(path) === path) throw error;
      await diskFiles.makeDirectory(dirname(path));
      await mkdir(path);
    }
    await chmod(path, SEARCHABLE);
  },
  setMode: chmod,
  setOwner: chown,
  async sync(path) {
    const opened = await open(path, "r");
    try {
      await opened.sync();
    } finally {
      await opened.close();
    }
  },
};

async function absentAsUndefined<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (systemCode(error) === "ENOENT") return undefined;
    throw error;
  }
}
