// Runs while the console's own script is on its way: asks for what every page
// starts with. src/api/boot.ts takes the answers. It is deferred, so that it runs
// before that script does.
window.early = {};
for (const path of ['/config', '/api/v1/user']) {
  window.early[path] = fetch(path, { headers: { 'X-Requested-With': 'XMLHttpRequest', Accept: 'application/json' } });
  window.early[path].catch(() => {}); // who takes it is told
}
