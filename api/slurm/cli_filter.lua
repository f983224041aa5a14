-- crowdrun: says before a job is submitted what similar jobs used, and sets what the site wants set.
-- Written by `crowdrun slurm install-filter`; `crowdrun slurm remove-filter` takes it away again. Slurm reads it as the
-- user in each sbatch, salloc and srun; one that does not parse, or lacks one of the three functions, stops them all.

local CSBATCH = "@CSBATCH@"
-- One argument of a command may be 128 KiB long (MAX_ARG_STRLEN).
local LONGEST = 100000
local SETTABLE = {
    ["mem"] = true, ["mem-per-cpu"] = true, ["mem-per-gpu"] = true, ["time"] = true,
    ["gpus"] = true, ["gpus-per-node"] = true, ["gres"] = true,
}

local function quoted(text)
    return "'" .. string.gsub(text, "'", "'\\''") .. "'"
end

-- csbatch keeps the time limit of the question; `timeout` is for a Python that does not start.
local function advise(options)
    -- Not for srun: it comes here for each step of a job.
    if options["type"] ~= "sbatch" then return end
    local told = slurm.json_cli_options(options)
    if #told > LONGEST then return end
    local program = quoted(CSBATCH)
    local pipe = io.popen("[ -x " .. program .. " ] && exec timeout 2 " .. program .. " --crowd-filter " .. quoted(told) .. " $PPID")
    for line in pipe:lines() do
        local name, value = string.match(line, "^([a-z-]+) (%S+)$")
        if name and SETTABLE[name] then options[name] = value end
    end
    pipe:close()
end

function slurm_cli_setup_defaults(options, early_pass)
    return slurm.SUCCESS
end

function slurm_cli_pre_submit(options, pack_offset)
    pcall(advise, options)
    return slurm.SUCCESS
end

function slurm_cli_post_submit(offset, job_id, step_id)
    return slurm.SUCCESS
end

return slurm.SUCCESS
