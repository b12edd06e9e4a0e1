/** safeNext is where a sign-in leads: a page of this console, never another site. */
export function safeNext(next: string | undefined): string {
  return next && /^\/(?![/\\])/.test(next) && !/[\\\t\r\n]/.test(next) ? next : '/';
}
