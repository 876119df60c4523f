import { totalmem } from 'node:os';
import type { KafabricConfig } from '../config/index.ts';

const SHARE = 4;
const MIB = 1 << 20;
const MIN_BYTES = 64 * MIB;

/**
 * The size of the arena, in bytes: `arena.bytes`, or a quarter of the memory that this machine or container has, and room for the largest
 * request.
 */
export function arenaBytes(config: KafabricConfig): number {
  const configured = config.get('arena.bytes');
  if (configured > 0) return configured;
  const request = Math.ceil(config.get('socket.request.max.bytes') / MIB) * MIB;
  return Math.max(MIN_BYTES, request, Math.floor(memoryBytes() / SHARE / MIB) * MIB);
}

/** The largest request that is taken, in bytes. @throws Error if the arena has no room for it */
export function maxRequestBytes(config: KafabricConfig): number {
  const request = config.get('socket.request.max.bytes');
  const arena = arenaBytes(config);
  if (request > arena)
    throw new Error(
      `arena.bytes=${arena} has no room for the largest request: raise it, or lower socket.request.max.bytes=${request}`,
    );
  return request;
}

/** The memory that this machine or container has, in bytes. */
export function memoryBytes(): number {
  // 0 or more than there is: no limit of a container.
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
