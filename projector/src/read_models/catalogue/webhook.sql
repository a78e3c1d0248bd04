-- Why a partner's system is not told of orders any more.
alter table read.partners add column webhook_disabled text;
