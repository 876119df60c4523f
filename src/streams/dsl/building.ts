import type { Graph } from '../graph.ts';
import type { Serde } from '../serdes.ts';

/** What streams and tables share while they are built. */
export interface Building {
  readonly graph: Graph;
  /** Of keys and values where nothing else is given. */
  readonly keySerde: Serde<unknown>;
  readonly valueSerde: Serde<unknown>;
}
