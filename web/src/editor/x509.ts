/** What a certificate says of itself, as far as the list of certificates shows it. */
export type Read = { subject: string; until: Date };

type Node = { tag: number; from: number; to: number };

// node reads the head of a DER element at i, and where its content is.
function node(b: Uint8Array, i: number): Node {
  let size = b[i + 1]!;
  let from = i + 2;
  if (size > 0x80) {
    const n = size & 0x7f;
    if (n > 4) throw new Error('too large');
    size = 0;
    for (let k = 0; k < n; k++) size = size * 256 + b[from + k]!;
    from += n;
  } else if (size === 0x80) throw new Error('not DER');
  if (!(from + size <= b.length)) throw new Error('cut off');
  return { tag: b[i]!, from, to: from + size };
}

function children(b: Uint8Array, of: Node): Node[] {
  const out: Node[] = [];
  for (let i = of.from; i < of.to; ) {
    const n = node(b, i);
    out.push(n);
    i = n.to;
  }
  return out;
}

const names: Record<string, string> = { '550403': 'CN', '55040a': 'O', '55040b': 'OU', '550406': 'C' };
const hex = (b: Uint8Array) => [...b].map((x) => x.toString(16).padStart(2, '0')).join('');
const latin = (b: Uint8Array) => String.fromCharCode(...b);

// nameOf writes a distinguished name as its common name, or as its parts where it has none.
function nameOf(b: Uint8Array, name: Node): string {
  const parts: [string, string][] = [];
  for (const set of children(b, name)) {
    for (const pair of children(b, set)) {
      const [type, value] = children(b, pair);
      if (!type || !value) continue;
      const key = names[hex(b.subarray(type.from, type.to))];
      if (key) parts.push([key, new TextDecoder(value.tag === 0x1e ? 'utf-16be' : 'utf-8').decode(b.subarray(value.from, value.to))]);
    }
  }
  return parts.find(([k]) => k === 'CN')?.[1] ?? parts.map(([k, v]) => `${k}=${v}`).join(', ');
}

function timeOf(b: Uint8Array, n: Node): Date {
  const s = latin(b.subarray(n.from, n.to));
  const m = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(s);
  if (!m) throw new Error('no time');
  const year = m[1]!.length === 4 ? Number(m[1]) : Number(m[1]) + (Number(m[1]) < 50 ? 2000 : 1900);
  return new Date(Date.UTC(year, Number(m[2]) - 1, Number(m[3]), Number(m[4]), Number(m[5]), Number(m[6])));
}

/** certificatesOf reads the certificates of a text in PEM. What cannot be read is left out: the server checks them. */
export function certificatesOf(pem: string): Read[] {
  const out: Read[] = [];
  for (const m of pem.matchAll(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END/g)) {
    try {
      const b = Uint8Array.from(atob(m[1]!.replace(/\s/g, '')), (c) => c.charCodeAt(0));
      const body = children(b, children(b, node(b, 0))[0]!);
      // [0] version, which is not always there; serial, algorithm, issuer, validity, subject.
      const at = body[0]!.tag === 0xa0 ? 1 : 0;
      const subject = nameOf(b, body[at + 4]!);
      out.push({ subject, until: timeOf(b, children(b, body[at + 3]!)[1]!) });
    } catch {
      continue;
    }
  }
  return out;
}

/** textOfFile is a file of the bundle as text; '' where it is not in base64. */
export function textOfFile(base64: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));
  } catch {
    return '';
  }
}

/** base64Of is bytes as the bundle has them. */
export function base64Of(bytes: Uint8Array): string {
  let out = '';
  for (let i = 0; i < bytes.length; i += 0x8000) out += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  return btoa(out);
}
