SELECT COALESCE(max(extract(epoch FROM statement_timestamp()
         - GREATEST(job.created_at, job.not_before, share.resumed_at))), 0)::float8
  FROM public.jobs_job job
  JOIN public.jobs_tenantshare share ON share.schema = job.schema
  LEFT JOIN (SELECT schema, count(*) AS n FROM public.jobs_job WHERE state = 'RUNNING' GROUP BY schema) running
    ON running.schema = job.schema
 WHERE job.state = 'QUEUED' AND job.started_at IS NULL AND job.not_before <= statement_timestamp()
   AND share.state = 'ACTIVE' AND COALESCE(running.n, 0) < share.cap
