import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../..');

// program is the k8sharness that scripts/k8s-harness has built.
let built = '';
function program(): string {
  try {
    built ||= join(execFileSync(join(root, 'scripts/k8s-harness'), ['--built'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim(), 'k8sharness');
  } catch {
    throw new Error('the Kubernetes of the tests is not built: run make deps');
  }
  return built;
}

/** A Cluster is a real API server that knows QuayRegistries, and no operator. */
export class Cluster {
  private constructor(
    private readonly dir: string,
    private readonly process: ChildProcess,
  ) {}

  get kubeconfig() {
    return join(this.dir, 'k8s/kubeconfig');
  }

  static async start(): Promise<Cluster> {
    const dir = mkdtempSync(join(tmpdir(), 'gantry-cluster-'));
    const child = spawn(program(), ['run', '-dir', join(dir, 'k8s'), '-fake-nodes', '1'], { stdio: ['ignore', 'ignore', 'pipe'] });
    const log: string[] = [];
    child.stderr?.on('data', (b: Buffer) => log.push(b.toString()));
    const c = new Cluster(dir, child);
    for (const end = Date.now() + 120_000; !existsSync(join(dir, 'k8s/run/ready')); ) {
      if (child.exitCode !== null || Date.now() > end) throw new Error(`the API server did not start:\n${log.join('')}`);
      await new Promise((f) => setTimeout(f, 50));
    }
    c.kubectl(['apply', '--server-side', '-f', join(root, 'config/crd')]);
    c.kubectl(['wait', '--for', 'condition=Established', 'crd/quayregistries.quay.redhat.com']);
    return c;
  }

  /** kubectl returns what it prints. */
  kubectl(args: string[], input?: string): string {
    return execFileSync(program(), ['kubectl', '--kubeconfig', this.kubeconfig, ...args], { encoding: 'utf8', input, stdio: ['pipe', 'pipe', 'pipe'] });
  }

  /** get is an object of the namespace default. */
  get<T>(kind: string, name: string): T {
    return JSON.parse(this.kubectl(['get', kind, name, '-o', 'json'])) as T;
  }

  apply(...objects: object[]) {
    this.kubectl(['apply', '-f', '-'], JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects }));
  }

  async stop() {
    if (this.process.exitCode === null) {
      const ended = new Promise((f) => this.process.once('exit', f));
      this.process.kill('SIGTERM');
      await ended;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }
}
