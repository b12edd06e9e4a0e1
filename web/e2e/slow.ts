import { createServer, request, type Server } from 'node:http';

/** A Slow stands before a registry and gives the second half of each blob only as it is let. */
export class Slow {
  private waiting: (() => void)[] = [];
  private open = false;
  private dripping = 0;

  private constructor(
    private readonly server: Server,
    readonly host: string,
  ) {}

  /** before starts one before the registry at base; blobs of fewer than least bytes pass. */
  static async before(base: string, least: number): Promise<Slow> {
    const server = createServer((req, res) => {
      const up = request(base + req.url, { method: req.method, headers: req.headers }, (from) => {
        res.writeHead(from.statusCode ?? 502, from.headers);
        const size = Number(from.headers['content-length'] ?? 0);
        if (slow.open || req.method !== 'GET' || !req.url?.includes('/blobs/') || size < least) return void from.pipe(res);
        let sent = 0;
        from.on('data', (part: Buffer) => {
          res.write(part);
          const before = sent;
          sent += part.length;
          if (before >= size / 2 && slow.dripping > 0 && !slow.open) {
            from.pause();
            setTimeout(() => from.resume(), slow.dripping);
          }
          if (before >= size / 2 || sent < size / 2) return;
          from.pause();
          slow.waiting.push(() => from.resume());
        });
        from.on('end', () => res.end());
      });
      up.on('error', () => res.destroy());
      req.pipe(up);
    });
    await new Promise<void>((f) => server.listen(0, '127.0.0.1', f));
    const at = server.address();
    const slow = new Slow(server, `127.0.0.1:${typeof at === 'object' && at ? at.port : 0}`);
    return slow;
  }

  /** held is how many blobs wait. */
  get held() {
    return this.waiting.length;
  }

  /** one lets one blob come. */
  one() {
    this.waiting.shift()?.();
  }

  /** drip lets all that wait come, a piece every so many milliseconds. */
  drip(ms: number) {
    this.dripping = ms;
    for (const go of this.waiting.splice(0)) go();
  }

  /** all lets all blobs come, from now on. */
  all() {
    this.open = true;
    for (const go of this.waiting.splice(0)) go();
  }

  async stop() {
    this.all();
    this.server.closeAllConnections();
    await new Promise((f) => this.server.close(f));
  }
}
