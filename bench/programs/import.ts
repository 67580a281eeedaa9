import 'agent-spiffe';
