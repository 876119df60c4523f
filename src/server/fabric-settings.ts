import type { KafabricConfig } from '../config/index.ts';
import type { TransportOptions } from '../native/fabric.ts';
import type { FabricWish } from '../native/fabric-choice.ts';

/** What the configuration says about the fabric. */
export function fabricSettings(config: KafabricConfig): { wish: FabricWish; options: TransportOptions } {
  return {
    wish: { provider: config.get('fabric.provider'), domain: config.get('fabric.domain') },
    options: {
      library: config.get('fabric.library'),
      pieceBytes: config.get('fabric.piece.bytes'),
      window: config.get('fabric.window'),
    },
  };
}
