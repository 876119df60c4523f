/** All that a gateway or a store tells; `url`: of its HTTP listener. */
export async function readMetrics(url: string): Promise<string> {
  return (await fetch(`${url}/metrics`)).text();
}

/** One figure by its whole name, with its labels; NaN when there is none. */
export async function readMetric(url: string, name: string): Promise<number> {
  const line = (await readMetrics(url)).split('\n').find((line) => line.startsWith(`${name} `));
  return Number(line?.slice(name.length + 1));
}
