import { readFileSync } from 'node:fs';
import { X509Bundle, X509Bundles } from 'agent-spiffe';
import {
  auditLog,
  formatInclusionProof,
  proveInclusion,
  readAuditLog,
  verifyAuditLog,
} from 'agent-spiffe/agent';

// A guard writes to it: createGuard({ identity: me, audit, … }).
export const audit = auditLog('./audit', {
  arguments: { search: 'keep', send_email: { to: 'keep', body: 'redact' } }, // all others as digests
});

// Anyone can verify it, while it is written to and ever after.
const { problems } = await verifyAuditLog('./audit', {
  bundles: X509Bundles.of(X509Bundle.fromPem('example.org', readFileSync('bundle.pem'))),
  id: 'spiffe://example.org/agents/**',
  checkpoints: [readFileSync('kept', 'utf8')], // the last one that was seen
});
for (const { message } of problems) console.error(message);

for await (const { index, record } of readAuditLog('./audit')) console.log(index, record);
console.log(formatInclusionProof(await proveInclusion('./audit', 17)));
