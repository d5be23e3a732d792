-- What analysts ask of the members of communities. Names have three parts, the first being a catalog's.

-- 0: members and holders of a membership, per artist; the join repeats a member with several orders
select m.comm_id, m.we_art_id, m.we_art_name,
  count(distinct m.we_member_id) as total_members,
  sum(case when m.is_fc = 1 then 1 else 0 end) as fc_members
from wev_prod.we_mart.wv_comm_user m
-- 멤버십 주문: a comment that is not ASCII
left join wev_prod.we_mart.ws_fc_user_history h
  on m.we_member_id = h.we_member_id and m.we_art_id = h.we_art_id and m.part_date = h.part_date
where m.part_date = '2024-01-01'
group by m.comm_id, m.we_art_id, m.we_art_name
order by m.comm_id, m.we_art_id;

-- 1: members by country, as a view
create or replace view wev_prod.we_mart.wv_comm_user_ctry_dist as
select m.comm_id, m.we_art_id, m.we_art_name, m.ip_ctry as user_country, count(distinct m.we_member_id) as user_count
from wev_prod.we_mart.wv_comm_user m
where m.part_date = '2024-01-01'
group by m.comm_id, m.we_art_id, m.we_art_name, m.ip_ctry
order by m.comm_id, m.we_art_id, user_count desc;

-- 2: profiles, and private ones
select m.comm_id, m.we_art_id, m.we_art_name,
  sum(case when m.is_profile_created = 1 then 1 else 0 end) as total_profile_created,
  sum(case when m.is_profile_private = 1 then 1 else 0 end) as total_profile_private
from wev_prod.we_mart.wv_comm_user m
where m.part_date = '2024-01-01'
group by m.comm_id, m.we_art_id, m.we_art_name
order by m.comm_id, m.we_art_id;

-- 3: holders of one artist's membership, with their orders
select m.wv_user_id, m.we_member_id, m.comm_id, m.we_art_id, m.we_art_name, m.comm_user_first_dt, h.fc_id
from wev_prod.we_mart.wv_comm_user m
left join wev_prod.we_mart.ws_fc_user_history h
  on m.we_member_id = h.we_member_id and m.we_art_id = h.we_art_id and m.part_date = h.part_date
where m.part_date = '2024-01-01' and m.we_art_name = 'ARTIST' and m.is_fc = 1
order by m.comm_user_first_dt;

-- 4: one artist's members by country over a month
select m.ip_ctry as user_country, count(distinct m.we_member_id) as user_count
from wev_prod.we_mart.wv_comm_user m
where m.part_date between '2024-01-01' and '2024-01-31' and m.we_art_name = 'ARTIST'
group by m.ip_ctry
order by user_count desc;

-- 5: members of one community whose profile is private
select m.wv_user_id, m.we_member_id, m.comm_id, m.we_art_id, m.we_art_name, m.comm_user_first_dt, m.profile_name
from wev_prod.we_mart.wv_comm_user m
where m.part_date = '2024-01-01' and m.comm_id = 1234 and m.is_profile_created = 1 and m.is_profile_private = 1
order by m.comm_user_first_dt;
