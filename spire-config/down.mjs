import { down } from './demo.mjs';
import { say, script } from './script.mjs';

await script('spire:down', async () => {
  say((await down()) ? 'SPIRE is down, its state removed.' : 'SPIRE is not up.');
});
