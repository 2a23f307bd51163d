import json,pathlib
def test_x(world):
    w=world()
    fs=sorted(pathlib.Path('/work/main/schemas/examples').glob('*.json'))
    evs=[json.loads(f.read_text()) for f in fs]
    r=w.post(*evs); w.deliver()
    st=w.states()
    for f,x in zip(fs,r):
        print(f.stem, x['event_id'], sorted(n for n in w.arrived if x['event_id'] in w.ids(n)), {k[1]:v for k,v in st.items() if k[0]==x['event_id']}, x['destinations'])
    print(w.refusals)
    for n in w.arrived: print(n, json.dumps(w.arrived[n][0])[:1500], len(w.arrived[n]))
    for (n,r) in w.requests[:60]: print(n, r.url)
