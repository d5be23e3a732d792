-- What analysts ask of the daily sessions: a statement each, as the README's tables promise to answer them.

-- 0: sessions of each member
create or replace table we_mart.stats_wv_d_session as
select date(key_date) as key_date, we_member_id, count(distinct sess_id) as sess_cnt, sum(sess_dur) as total_sess_dur
from we_mart.wv_sess_daily
where part_date = '2024-01-01'
group by 1, 2;

-- 1: sessions of each member, cut where the user changes
create or replace table we_mart.stats_wv_d_user_sess as
select date(key_date) as key_date, we_member_id,
  count(distinct user_sess_id) as user_sess_cnt, sum(user_sess_dur) as total_user_sess_dur
from we_mart.wv_sess_daily
where part_date = '2024-01-01'
group by 1, 2;

-- 2: sessions by platform
create or replace table we_mart.stats_wv_d_platform as
select date(key_date) as key_date, platform, count(distinct sess_id) as sess_cnt
from we_mart.wv_sess_daily
where part_date = '2024-01-01'
group by 1, 2;

-- 3: sessions by artist and platform
select date(key_date) as key_date, we_art_id, we_art_name, platform, count(distinct sess_id) as sess_cnt
from we_mart.wv_sess_daily
where part_date = '2024-01-01'
group by 1, 2, 3, 4;

-- 4: sessions in one artist's community, the artist found by a sub-query
select date(key_date) as key_date, we_member_id, count(distinct sess_id) as sess_cnt
from we_mart.wv_sess_daily
where part_date = '2024-01-01'
  and we_art_id = (select we_art_id from we_mart.we_artist where we_art_name = 'ARTIST')
group by 1, 2;

-- 5: a week of sessions from one country
select date(key_date) as key_date, we_member_id, count(distinct sess_id) as sess_cnt
from we_mart.wv_sess_daily
where part_date between '2024-01-01' and '2024-01-07'
  and user_ctry = 'KR'
group by 1, 2;

-- 6: seconds that holders of a membership spent with one artist
select date(key_date) as key_date, we_member_id, sum(sess_dur) as total_sess_dur
from we_mart.wv_sess_daily
where part_date = '2024-01-01'
  and we_art_id = (select we_art_id from we_mart.we_artist where we_art_name = 'ARTIST')
  and is_fc = 1
group by 1, 2;

-- 7: a week of sessions with one artist, the artist found by a join
select date(s.key_date) as key_date, s.we_member_id, count(distinct s.sess_id) as sess_cnt
from we_mart.wv_sess_daily s
inner join we_mart.we_artist a on s.we_art_id = a.we_art_id
where a.we_art_name = 'ARTIST'
  and s.part_date between '2024-01-01' and '2024-01-07'
group by 1, 2;

-- 8: their seconds
select date(s.key_date) as key_date, s.we_member_id, sum(s.sess_dur) as total_sess_dur
from we_mart.wv_sess_daily s
inner join we_mart.we_artist a on s.we_art_id = a.we_art_id
where a.we_art_name = 'ARTIST'
  and s.part_date between '2024-01-01' and '2024-01-07'
group by 1, 2;

-- 9: both
select date(s.key_date) as key_date, s.we_member_id,
  count(distinct s.sess_id) as sess_cnt, sum(s.sess_dur) as total_sess_dur
from we_mart.wv_sess_daily s
inner join we_mart.we_artist a on s.we_art_id = a.we_art_id
where a.we_art_name = 'ARTIST'
  and s.part_date between '2024-01-01' and '2024-01-07'
group by 1, 2;
