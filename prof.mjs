import { eventLine } from './dist/agent/audit/line.js';
import { parseArgumentRules } from './dist/agent/audit/argument-rules.js';
import { intent, outcome } from './dist-test/support/audit.js';
const rule = parseArgumentRules({}); const setting = {origin:'example.org/agents/researcher/audit/1570f6085a7cbeaf', version:'0.1.0'};
const evs=[intent({q:'acme 12345', limit: 10}), outcome()];
for (const [n,f] of [['intent',i=>eventLine(evs[0],i,setting,rule)],['outcome',i=>eventLine(evs[1],i,setting,rule)]]) {
 for(let i=0;i<30000;i++) f(i); 
 const t=performance.now(); for(let i=0;i<100000;i++) f(i); console.log(n,((performance.now()-t)/100000*1000).toFixed(2),'us', f(1).length);
 const rec=JSON.parse(f(1)); for(let i=0;i<30000;i++) JSON.stringify(rec); const t2=performance.now(); for(let i=0;i<100000;i++) {rec.metadata.sequence=i; JSON.stringify(rec);} console.log(' stringify',((performance.now()-t2)/100000*1000).toFixed(2),'us');
}
