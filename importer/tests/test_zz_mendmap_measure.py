import time, pytest
from importer.tests.test_mapping_page_wide import *
from importer.tests.test_mapping_page_wide import wide as _w
from django.test.utils import CaptureQueriesContext
@pytest.mark.parametrize("n,m",[(50,60),(100,50),(400,400),(1600,500)])
def test_measure(acme, globex, client_of, n, m):
    with in_tenant(acme):
        t=time.time(); d=wide(m); print("create", time.time()-t)
        from importer import services
        import io
        labels=["id",*[f"text {a}" if a%2 else f"zz{a}" for a in range(1,n)]]
        t=time.time()
        job=upload(d, ",".join(labels)+"\n"+"1,"+",".join("v" for _ in range(n-1))+"\n", name="w.csv"); print("preview", job.state, job.error, time.time()-t)
    c=client_of(acme)
    for i in range(2):
        t=time.time(); r=c.get(url(job)); print(n,m,"GET",r.status_code,len(r.content), r.text.count("<option"), round(time.time()-t,2))
    data=sent(r.text)
    c.post(url(job),{**data,"go":"2"})
    import cProfile,pstats
    if n==1600:
        pr=cProfile.Profile(); pr.enable(); r=c.post(url(job),{**data,"go":"2"}); pr.disable(); pstats.Stats(pr).sort_stats("cumtime").print_stats(60)
    t=time.time(); r=c.post(url(job),{**data,"go":"2"}); print("go",r.status_code,len(data),len(r.content),round(time.time()-t,2))
