// The servers that bench/net/run.ts compares; each answers every frame with a frame of 8 bytes, made by the same handler.
//
//   node servers.js kafabric|node|node-corked          prints its port, and for each line of its standard input its CPU microseconds and context switches so far, until that ends
import { createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { Net } from '../../src/native/net.ts';

/** Answers with the frame's first 8 bytes, as a protocol with correlation ids does. */
function handle(frame: Uint8Array): Buffer {
  const reply = Buffer.allocUnsafe(12);
  reply.writeInt32BE(8, 0);
  reply.set(frame.subarray(0, 8), 4);
  return reply;
}

async function kafabric(): Promise<number> {
  const net = new Net(
    { threads: Number(process.env.THREADS ?? 1) },
    {
      onConnect() {},
      onFrame(connection, bytes, memory) {
        net.reply(connection, [handle(bytes)]);
        memory?.release();
      },
      onClose() {},
    },
  );
  return (await net.listen('127.0.0.1', 0)).port;
}

/**
 * A plain Node server. It joins chunks only when a frame spans them. `corked`: the answers to one chunk are written at once, which
 * only a server whose answers are all made within the data event can do.
 */
function node(corked: boolean): Promise<number> {
  const serve = (socket: Socket): void => {
    let chunks: Buffer[] = [];
    let size = 0;
    let wanted = 4;
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size < wanted) return;
      const all = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, size);
      let at = 0;
      wanted = 4;
      if (corked) socket.cork();
      while (all.length - at >= 4) {
        const length = all.readInt32BE(at);
        if (all.length - at < 4 + length) {
          wanted = 4 + length;
          break;
        }
        socket.write(handle(all.subarray(at + 4, at + 4 + length)));
        at += 4 + length;
      }
      if (corked) socket.uncork();
      chunks = at < all.length ? [all.subarray(at)] : [];
      size = all.length - at;
    });
  };
  return new Promise((resolve) => {
    const server = createServer(serve).listen(0, '127.0.0.1', () => {
      resolve((server.address() as { port: number }).port);
    });
  });
}

/** CPU microseconds and context switches of all threads so far. */
function usage(): [cpuUs: number, switches: number] {
  const all = process.resourceUsage();
  return [all.userCPUTime + all.systemCPUTime, all.voluntaryContextSwitches + all.involuntaryContextSwitches];
}

const which = process.argv[2];
console.log(which === 'kafabric' ? await kafabric() : await node(which === 'node-corked'));
const asked = createInterface({ input: process.stdin });
asked.on('line', () => console.log(usage().join(' ')));
asked.on('close', () => process.exit(0));
