import type { AddressInfo } from 'node:net';
import { type ServerType, serve } from '@hono/node-server';
import { Hono } from 'hono';
import type { Registry } from 'prom-client';
import type { HttpAddress } from '../../config/index.ts';

/** What `/health/ready` answers: ready only when every part is. `reasons` names the parts that are not, for people. */
export interface Readiness {
  ready: boolean;
  reasons: string[];
  /** Of a gateway with payload stores: whether requests go through to each. One that is away keeps nobody from being served. */
  stores?: { address: string; circuit: 'closed' | 'half-open' | 'open' }[];
  /** With storage tiers: their directories and buckets, and why payload there cannot be had; null: it can. `tier`: null: of none any more. That keeps nobody from being served either. */
  tiers?: { tier: string | null; path: string; error: string | null }[];
}

/** Scrapers and probes are few: others must not take the descriptors that files and clients need. */
const MAX_CONNECTIONS = 256;

export interface HttpServerOptions extends HttpAddress {
  metrics: Registry;
  readiness(): Readiness;
  version: string;
}

export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/**
 * The operators' HTTP listener: `/metrics` in Prometheus text format, `/health/live` (the process runs and its event loop turns) and
 * `/health/ready` (200 when clients can be served, else 503 with the reasons); both name the payload stores and the storage tiers.
 * Rejects when the address cannot be bound.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const app = new Hono();
  app.get('/', (c) => c.text(`kafabric ${options.version}\n/metrics\n/health/live\n/health/ready\n`));
  app.get('/metrics', async (c) =>
    c.body(await options.metrics.metrics(), 200, { 'content-type': options.metrics.contentType }),
  );
  app.get('/health/live', (c) => {
    const { ready: _ready, reasons: _reasons, ...parts } = options.readiness();
    return c.json({ status: 'live', ...parts });
  });
  app.get('/health/ready', (c) => {
    const { ready, ...rest } = options.readiness();
    return c.json({ status: ready ? 'ready' : 'not ready', ...rest }, ready ? 200 : 503);
  });
  const server = await listen(app, options.host, options.port).catch((cause: Error) => {
    throw new Error(`metrics.listener cannot listen on ${options.host}:${options.port}: ${cause.message}`, {
      cause,
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((done) => {
        server.close(() => done());
        if ('closeAllConnections' in server) server.closeAllConnections();
      }),
  };
}

function listen(app: Hono, hostname: string, port: number): Promise<ServerType> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch: app.fetch, hostname, port }, () => resolve(server));
    server.maxConnections = MAX_CONNECTIONS;
    // Later it is of connections that the system cannot give, as when descriptors run out: they are not there, and that is all.
    server.on('error', reject);
  });
}
