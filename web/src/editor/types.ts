/** The types of the editor's API, as internal/editor answers them. */

export type Severity = 'error' | 'warning' | 'not-used-yet' | 'ignored';

/** A Fault is what the server has against a configuration. field is its path, '' where it is about a file. */
export type Fault = { severity: Severity; group: string; field: string; file: string; line: number; message: string };

export type Kind = 'text' | 'bool' | 'int' | 'float' | 'duration' | 'seconds' | 'minutes' | 'size' | 'list' | 'object' | 'objects' | 'map' | 'custom';

/** A Field is one of config.yaml, or a key of a block. */
export type Field = {
  name: string;
  group: string;
  section: string;
  kind: Kind;
  default?: unknown;
  doc: string;
  shape?: string;
  allowed?: string[];
  min?: number;
  max?: number;
  keys?: Field[];
  item?: Field;
  /** open: other keys than keys are kept. */
  open?: boolean;
  used: boolean;
  live: boolean;
  secret: boolean;
  required: boolean;
  later: boolean;
  obsolete?: string;
  env?: string;
};

export type Section = { id: string; title: string; fields: string[] };
export type Engine = { class: string; title: string; keys: Field[] };
export type Form = { sections: Section[]; fields: Field[]; engines: Engine[] };

export type Managed = { component: string; group: string; fields: string[]; unmanageable: boolean };
/** An Own is a component that the user runs and the operator could. fields are the operator's then, related tell of the user's service. */
export type Own = { component: string; group: string; fields: string[]; related: string[] };
export type Source = 'default' | 'file' | 'environment' | 'operator';

export type State = {
  mode: 'operator' | 'standalone';
  registry?: string;
  namespace?: string;
  secret?: string;
  dir?: string;
  version: string;
  /** revision is what a change has to be made from. */
  revision: string;
  /** written are the fields that config.yaml itself has. */
  written: string[];
  source: Record<string, Source>;
  managed: Managed[];
  own: Own[];
  writable: boolean;
  reason?: string;
  warnings: string[];
};

export type Config = Record<string, unknown>;

/** A Bundle is config.yaml, with its defaults, and the files beside it in base64. Secrets and private keys are "***". */
export type Bundle = { 'config.yaml': Config; certs: Record<string, string> };

export type Certificate = { subject: string; issuer: string; not_after: string };
export type Trial = { name: string; group: string; ok: boolean; skipped?: string; latency_ms: number; message: string; next?: string; chain?: Certificate[] };
export type Change = { field: string; from: unknown; to: unknown; live: boolean };
export type Check = { valid: boolean; problems: Fault[]; tests: Trial[]; changes: Change[]; pods: string[] };
export type Patch = { 'config.yaml'?: Config; certs?: Record<string, string | null>; manage?: Record<string, boolean> };
export type Revision = { revision: string; at: string; changed: string[]; current: boolean };
export type Rollout = {
  state: 'done' | 'rolling' | 'failed' | 'unknown';
  message: string;
  conditions: { type: string; status: string; reason: string; message: string; at: string }[];
  events: { at: string; type: string; reason: string; message: string }[];
};

export const trials = ['database', 'redis', 'storage', 'ldap', 'oidc', 'smtp', 'clair'] as const;
export type TrialName = (typeof trials)[number];
