import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';

/** Far more than chains and lists of CAs take. */
const MAX_FILE_BYTES = 4 << 20;

/** A file, and the setting that names it. */
export interface PemFile {
  readonly file: string;
  readonly setting: string;
}

/** Changes when one of the files does; rejects with an Error for people when one is not there. */
export async function stampOfFiles(files: readonly PemFile[]): Promise<string> {
  const stats = await Promise.all(files.map((one) => readable(one, () => stat(one.file))));
  return stats.map(({ ino, size, mtimeMs, ctimeMs }) => [ino, size, mtimeMs, ctimeMs].join()).join(';');
}

/** Rejects with an Error for people, which names the setting. */
export function readPemFile(one: PemFile): Promise<string> {
  return readable(one, async () => {
    const { size } = await stat(one.file);
    if (size > MAX_FILE_BYTES) throw new Error(`${size} bytes are too large to be certificates`);
    return await readFile(one.file, 'utf8');
  });
}

/** @param where it was found, for people */
export function parseCertificate(pem: string, where: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (error) {
    throw new Error(`${where} holds what is no certificate: ${(error as Error).message}`);
  }
}

/** A subject of a certificate in one line. */
export function subjectLine({ subject }: X509Certificate): string {
  return subject.split('\n').join(', ');
}

async function readable<T>({ file, setting }: PemFile, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw new Error(`${setting}=${file} cannot be read: ${(error as Error).message}`);
  }
}
