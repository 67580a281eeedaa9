import { SpiffeId } from 'agent-spiffe';

console.log(String(SpiffeId.parse('spiffe://example.org/agent')));
