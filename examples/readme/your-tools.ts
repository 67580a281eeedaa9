/** What your agent does already, before anything guards it. */
export function searchCrm({ q }: { readonly q: string }): string {
  return `customer ${q}: gold, since 2019`;
}

export function sendEmail({ to, body }: { readonly to: string; readonly body: string }): string {
  return `sent ${body.length} characters to ${to}`;
}
