import assert from 'node:assert/strict';

const SECONDS = Number(process.env.KAFABRIC_SIMULATION_SECONDS ?? 5);
/** However slow the machine is: in so many lives, which are the same every time, everything happens that has to. */
const LEAST_LIVES = 10;
/** One to be repeated alone. */
const SEED = process.env.KAFABRIC_SIMULATION_SEED;
const FIRST_SEED = 100;

/** One life of what is simulated: its fingerprint, and how often things happened that have to happen in some. */
interface Life<K extends string> {
  readonly digest: string;
  readonly happened: Readonly<Record<K, number>>;
}

/** Tests a simulation: the same seed gives the same life, and no seed breaks a promise; `simulate` rejects when one does. */
export function describeSimulation<K extends string>(
  title: string,
  simulate: (seed: number) => Promise<Life<K>>,
): void {
  describe(`simulation of ${title}`, function () {
    this.timeout((SECONDS + 300) * 1000);

    it('repeats itself with the same seed', async () => {
      assert.deepEqual(await simulate(1), await simulate(1));
      assert.notEqual((await simulate(2)).digest, (await simulate(3)).digest);
    });

    it('keeps its promises whatever happens', async () => {
      const endMs = Date.now() + SECONDS * 1000;
      const total = new Map<string, number>();
      const first = SEED === undefined ? FIRST_SEED : Number(SEED);
      let seed = first;
      do {
        const life = await simulate(seed).catch((error: Error) => {
          throw new Error(`seed ${seed}: ${error.message}`, { cause: error });
        });
        for (const [what, count] of Object.entries<number>(life.happened))
          total.set(what, (total.get(what) ?? 0) + count);
        seed++;
      } while (SEED === undefined && (seed < first + LEAST_LIVES || Date.now() < endMs));
      for (const [what, count] of total) assert.ok(count > 0, `${what} never happened`);
    });
  });
}
