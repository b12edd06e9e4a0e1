import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './registry';

const people = `dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: uid=ada,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: ada
cn: Ada
sn: L
mail: ada@example.org
userPassword: ada-password

dn: cn=developers,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: developers
member: uid=ada,ou=people,dc=example,dc=org
`;

/** A Directory is a slapd (of the Debian package) with ada, whose password is ada-password, and the group developers. */
export class Directory {
  private constructor(
    readonly url: string,
    private readonly dir: string,
    private readonly process: ChildProcess,
  ) {}

  static async start(): Promise<Directory> {
    const dir = mkdtempSync(join(tmpdir(), 'gantry-slapd-'));
    mkdirSync(join(dir, 'db'));
    const port = await freePort();
    const url = `ldap://127.0.0.1:${port}`;
    writeFileSync(
      join(dir, 'slapd.conf'),
      ['core', 'cosine', 'inetorgperson'].map((s) => `include /etc/ldap/schema/${s}.schema\n`).join('') +
        `modulepath /usr/lib/ldap
moduleload back_mdb
pidfile ${dir}/pid
argsfile ${dir}/args
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw admin-password
directory ${dir}/db
`,
    );
    const child = spawn('/usr/sbin/slapd', ['-d', '0', '-f', join(dir, 'slapd.conf'), '-h', `${url}/`], { stdio: 'ignore' });
    const d = new Directory(url, dir, child);
    let failed: Error | undefined;
    child.once('error', (err) => (failed = err));
    for (const end = Date.now() + 60_000; ; await new Promise((f) => setTimeout(f, 50))) {
      const up = await new Promise<boolean>((done) => {
        const c = connect(port, '127.0.0.1', () => (c.destroy(), done(true)));
        c.on('error', () => done(false));
      });
      if (up) break;
      if (failed || child.exitCode !== null || Date.now() > end) throw new Error(`slapd, of the Debian package slapd (scripts/test-deps), does not answer: ${failed?.message ?? child.exitCode}`);
    }
    execFileSync('ldapadd', ['-x', '-H', url, '-D', 'cn=admin,dc=example,dc=org', '-w', 'admin-password'], { input: people, stdio: ['pipe', 'ignore', 'inherit'] });
    return d;
  }

  async stop() {
    if (this.process.exitCode === null) {
      const ended = new Promise((f) => this.process.once('exit', f));
      this.process.kill('SIGTERM');
      await ended;
    }
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** config is what a registry needs in its config.yaml to take its users from here. */
  get config(): string {
    return `
AUTHENTICATION_TYPE: LDAP
LDAP_URI: ${this.url}
LDAP_BASE_DN: [dc=example, dc=org]
LDAP_ADMIN_DN: cn=admin,dc=example,dc=org
LDAP_ADMIN_PASSWD: admin-password
LDAP_USER_RDN: [ou=people]
LDAP_EMAIL_ATTR: mail
FEATURE_TEAM_SYNCING: true
SUPER_USERS: [ada]
`;
  }
}
