// The program under test, started with data of its own and stopped when the tests end.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const BINARY = process.env.SEALPOST_BIN ?? fileURLToPath(new URL('../../target/debug/sealpost', import.meta.url));

/** Whether nobody listens on a port of this machine. */
function isFree(port) {
  return new Promise(resolve => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}

/** Starts the program on `published`, or on a free port if that one is taken. */
export async function startServer(published) {
  const home = await mkdtemp(join(tmpdir(), 'sealpost-js-'));
  const wanted = (await isFree(published)) ? published : 0;
  const args = ['serve', '--data-dir', join(home, 'data'), '--port', String(wanted), '--no-chat-room'];
  const environment = Object.entries(process.env).filter(([name]) => !name.startsWith('ROCKET_') && name !== 'DATABASE_URL');
  const program = spawn(BINARY, args, { cwd: home, env: Object.fromEntries(environment), stdio: ['ignore', 'pipe', 'ignore'] });
  const port = await new Promise((resolve, reject) => {
    program.once('error', reject);
    program.once('exit', code => reject(new Error(`the server ended with ${code}`)));
    createInterface(program.stdout).on('line', line => {
      const found = /http:\/\/127\.0\.0\.1:(\d+)/.exec(line);
      if (found) resolve(Number(found[1]));
    });
  });
  program.removeAllListeners('exit');
  return {
    port,
    async stop() {
      const ended = new Promise(resolve => program.once('exit', resolve));
      program.kill('SIGKILL');
      await ended;
      await rm(home, { recursive: true });
    },
  };
}
