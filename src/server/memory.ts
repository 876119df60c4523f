import { totalmem } from 'node:os';
import type { KafabricConfig } from '../config/index.ts';

const SHARE = 4;
const MIN_BYTES = 64 << 20;

/** The size of the arena, in bytes: `arena.bytes`, or a quarter of the memory that this machine or container has. */
export function arenaBytes(config: KafabricConfig): number {
  const configured = config.get('arena.bytes');
  if (configured > 0) return configured;
  return Math.max(MIN_BYTES, Math.floor(memoryBytes() / SHARE / (1 << 20)) * (1 << 20));
}

/** The memory that this machine or container has, in bytes. */
export function memoryBytes(): number {
  // 0 or more than there is: no limit of a container.
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
