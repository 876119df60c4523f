// What net-hygiene.test.ts runs in processes and workers of their own: net-hygiene.child.js <scenario> [quiet]
//
// Quiet: one small request at a time, so that JavaScript's event loop serves the sockets.
import { writeSync } from 'node:fs';
import { connect } from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { Net } from './net.ts';
import { MemoryPiece } from './pieces.ts';

const [scenario, quiet] = (workerData as string | null)?.split(' ') ?? process.argv.slice(2);
let frames = 0;

const net = new Net(
  { threads: 2 },
  {
    onConnect() {},
    onFrame(connection, bytes, memory) {
      frames++;
      if (scenario === 'throw' && (!quiet || frames === 200)) throw new Error('on purpose');
      const head = Buffer.alloc(4);
      head.writeInt32BE(bytes.length);
      // Some memory is never released: the environment's end must give it back.
      if (memory && frames % 8 === 0) memory.retain();
      net.reply(connection, [head, memory ? new MemoryPiece(memory) : bytes]);
      if (frames === 200) void act();
    },
    onClose() {},
  },
);

async function act(): Promise<void> {
  if (scenario === 'exit') process.exit(0);
  if (scenario === 'terminate') parentPort?.postMessage('started');
  if (scenario === 'shutdown') {
    for (const socket of sockets) socket.destroy();
    await net.shutdown(1000);
    writeSync(1, 'finished');
  }
}

const { port } = await net.listen('127.0.0.1', 0);
const small = Buffer.alloc(104);
small.writeInt32BE(100);
const large = Buffer.alloc(100_004);
large.writeInt32BE(100_000);
// Every echo of about 100 KB calls for the next requests, until the end.
const sockets = (quiet ? [1] : [1, 2, 3, 4]).map(() => {
  const socket = connect(port, '127.0.0.1', () => socket.write(quiet ? small : large));
  socket.on('error', () => {});
  socket.on('data', () => {
    socket.write(small);
    if (!quiet && socket.writableLength < 200_000) socket.write(large);
  });
  socket.unref();
  return socket;
});
