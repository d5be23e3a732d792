-- What analysts ask of the first activation events. Names have no schema, and keywords are in capitals.

-- 0: who did the first key event, by day
SELECT date, COUNT(1) AS users_cnt
FROM fact__first_activation_events
WHERE TRUE AND event_name = 'key_event_1'
GROUP BY 1
ORDER BY 1;

-- 1: cohorts by the day of the first visit
SELECT
    first_visit_date AS cohort_date,
    COUNT(CASE WHEN event_name = 'first_visit' THEN 1 END) AS first_visit,
    COUNT(CASE WHEN event_name = 'key_event_1' THEN 1 END) AS key_event_1
FROM fact__first_activation_events
WHERE TRUE AND (event_name = 'first_visit' OR (event_name = 'key_event_1' AND days_from_first_visit <= 1))
GROUP BY 1
ORDER BY 1;

-- 2: with the second key event, which counts within a week
SELECT
    first_visit_date AS cohort_date,
    COUNT(CASE WHEN event_name = 'first_visit' THEN 1 END) AS first_visit,
    COUNT(CASE WHEN event_name = 'key_event_1' THEN 1 END) AS key_event_1,
    COUNT(CASE WHEN event_name = 'key_event_2' THEN 1 END) AS key_event_2
FROM fact__first_activation_events
WHERE TRUE AND (
    event_name = 'first_visit'
    OR (event_name = 'key_event_1' AND days_from_first_visit <= 1)
    OR (event_name = 'key_event_2' AND days_from_first_visit <= 7)
)
GROUP BY 1
ORDER BY 1;

-- 3: of users in one country; the view of users has each user once
SELECT
    F.first_visit_date AS cohort_date,
    COUNT(CASE WHEN F.event_name = 'first_visit' THEN 1 END) AS first_visit,
    COUNT(CASE WHEN F.event_name = 'key_event_1' THEN 1 END) AS key_event_1,
    COUNT(CASE WHEN F.event_name = 'key_event_2' THEN 1 END) AS key_event_2
FROM fact__first_activation_events F
LEFT JOIN dim__users D ON F.user_id = D.user_id
WHERE TRUE AND D.country = 'United States' AND (
    F.event_name = 'first_visit'
    OR (F.event_name = 'key_event_1' AND F.days_from_first_visit <= 1)
    OR (F.event_name = 'key_event_2' AND F.days_from_first_visit <= 7)
)
GROUP BY 1
ORDER BY 1;
