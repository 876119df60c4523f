import { execFileSync } from 'node:child_process';

/** Of a /30 that is used nowhere else: this end, and the one in the namespace. */
const NEAR = '198.18.77.1';
const FAR = '198.18.77.2';

/**
 * A network namespace, as if on another machine, behind a link that takes no more than so much a second on its way there; what runs there talks among
 * itself without a limit. Needs root, and iproute2.
 */
export class LimitedNetwork {
  readonly #name = `kfb-${process.pid}`;
  /** Of what listens there. */
  readonly host = FAR;

  constructor(megabytesPerSecond: number) {
    const [near, far] = [`kfa${process.pid}`, `kfz${process.pid}`];
    const rate = `${Math.round(megabytesPerSecond * 8)}mbit`;
    ip('netns', 'add', this.#name);
    try {
      ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', this.#name);
      ip('addr', 'add', `${NEAR}/30`, 'dev', near);
      ip('link', 'set', near, 'up');
      ip('-n', this.#name, 'addr', 'add', `${FAR}/30`, 'dev', far);
      for (const device of [far, 'lo']) ip('-n', this.#name, 'link', 'set', device, 'up');
      const limit = ['tbf', 'rate', rate, 'burst', '1mb', 'latency', '50ms'];
      execFileSync('tc', ['qdisc', 'add', 'dev', near, 'root', ...limit], { stdio: 'inherit' });
    } catch (error) {
      this.remove();
      throw error;
    }
  }

  /** What runs a command there. */
  within(command: string, words: readonly string[]): [string, string[]] {
    return ['ip', ['netns', 'exec', this.#name, command, ...words]];
  }

  remove(): void {
    ip('netns', 'del', this.#name);
  }
}

function ip(...words: string[]): void {
  execFileSync('ip', words, { stdio: 'inherit' });
}
