import { createServer, type Socket } from 'node:net';
import { frameOf, parseFields, varint, varintValue } from './traces/protobuf-wire.ts';

/**
 * A plugin server over ProtoBuf that stops (SIGSTOP) as soon as it has written everything of an event at once: so many
 * calls of a method, the end, the return. Kong's answers stay unread, as with a server that hangs.
 *
 * Arguments: path of the socket, number of calls, method, text argument.
 */
const [path = '', count = '0', method = '', argument = ''] = process.argv.slice(2);

const call = Buffer.concat([
  frameOf(Buffer.from(method)),
  frameOf(
    argument === ''
      ? Buffer.alloc(0)
      : Buffer.concat([Buffer.of(0x0a, argument.length), Buffer.from(argument)]),
  ),
]);
const calls = Buffer.concat(Array.from({ length: Number(count) }, () => call));

function serve(socket: Socket): void {
  let isStopped = false;
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk) => {
    if (isStopped) return; // answers to the calls
    const fields = parseFields(chunk.subarray(4)) ?? [];
    const sequence = varintValue(
      fields.find(({ number }) => number === 1)?.payload ?? Buffer.of(0),
    );
    const returned = Buffer.concat([Buffer.of(0x08), varint(sequence)]);
    if (fields.some(({ number }) => number === 33)) {
      const status = Buffer.of(0x8a, 0x02, 2, 0x10, 7);
      socket.write(frameOf(Buffer.concat([returned, status])));
      return;
    }
    isStopped = true;
    socket.write(Buffer.concat([calls, frameOf(Buffer.alloc(0)), frameOf(returned)]), () => {
      process.kill(process.pid, 'SIGSTOP');
    });
  });
}

createServer(serve).listen(path, () => process.stdout.write('listening'));
